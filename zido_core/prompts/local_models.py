"""Networks of transformers from a folder on this machine: nothing is fetched, and nothing is made up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..checkpoint import open_checkpoint
from ..errors import ModelMissing


def load_model(auto: Any, folder: Path, *, what: str, device: str) -> Any:
    """The network in ``folder``, by one of transformers' classes, on the device, ready to be asked.

    In single precision on a CPU, in that of the file elsewhere. Weights that the file lacks are an error:
    transformers would fill them with random numbers.
    """
    get = f"expected {what}, as save_pretrained() or a download of the whole model writes it"
    for path in sorted(folder.glob("*.safetensors")):
        open_checkpoint(path, get=get)
    model, report = _from(
        auto,
        folder,
        get,
        output_loading_info=True,
        use_safetensors=True,
        dtype="float32" if device == "cpu" else "auto",
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelMissing(f"the weights in {folder} lack {len(missing)} tensors, such as {missing[0]}; {get}")
    return model.eval().requires_grad_(False).to(device)


def load_tokenizer(folder: Path, *, what: str) -> Any:
    """What turns text into numbers and back."""
    from transformers import AutoTokenizer

    return _from(AutoTokenizer, folder, f"expected {what}")


def load_image_processor(folder: Path, *, what: str) -> Any:
    """What prepares images; Pillow's way, so that the same comes out wherever it runs."""
    from transformers import AutoImageProcessor

    return _from(AutoImageProcessor, folder, f"expected {what}", backend="pil")


def load_processor(folder: Path, *, what: str) -> Any:
    """What prepares images and text together; for models without such, only one of the two."""
    from transformers import AutoProcessor

    return _from(AutoProcessor, folder, f"expected {what}", backend="pil")


def _from(auto: Any, folder: Path, get: str, **options: Any) -> Any:
    try:
        with _without_bars():
            return auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)
    # Which errors transformers raises about a wrong folder differs from model to model.
    except (OSError, ValueError, KeyError, TypeError, ImportError, RuntimeError) as error:
        first = str(error).strip().splitlines()
        raise ModelMissing(f"{folder} does not load: {first[0] if first else repr(error)}; {get}") from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """No progress bars of transformers: what is shown to people is decided elsewhere."""
    from transformers import utils

    logging: Any = utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def optional_text(path: Path) -> str | None:
    """What a text file says, or None where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelMissing(f"{path} cannot be read: {error}; expected UTF-8 text") from error
