"""Run by the Python of QGIS: what osgeo says of a raster, as JSON on stdout."""

from __future__ import annotations

import json
import sys

from osgeo import gdal

gdal.UseExceptions()
dataset = gdal.Open(sys.argv[1])
bands = [dataset.GetRasterBand(number) for number in range(1, dataset.RasterCount + 1)]
reference = dataset.GetSpatialRef()
facts = {
    "size": [dataset.RasterXSize, dataset.RasterYSize],
    "transform": dataset.GetGeoTransform(),
    "wkt": reference.ExportToWkt() if reference else None,
    "names": [band.GetDescription() for band in bands],
    "types": [gdal.GetDataTypeName(band.DataType) for band in bands],
    "nodata": [band.GetNoDataValue() for band in bands],
    "checksum": [band.Checksum() for band in bands],
    "zido": dataset.GetMetadata("ZIDO"),
}
print(json.dumps(facts))
