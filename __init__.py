"""Entry point of the QGIS plugin: the repository root is its folder. The work is done by `zido_core`."""


def classFactory(iface: object) -> object:
    """Called by QGIS when the plugin is switched on."""
    raise NotImplementedError(
        "This version of zido has no QGIS plugin yet. Switch it off in the Plugin Manager and run "
        "`python -m zido_core raster.tif` in a terminal instead."
    )
