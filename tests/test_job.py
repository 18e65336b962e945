"""Cancelling a job."""

from __future__ import annotations

import pytest

from zido_core import errors
from zido_core.job import CancelToken


def test_the_token_cancels_for_good():
    token = CancelToken()
    token.check()
    assert not token.cancelled
    token.cancel()
    assert token.cancelled
    with pytest.raises(errors.Cancelled):
        token.check()
