"""Volumes of tables and batches as NumPy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, NamedTuple

from . import _voxstream

if TYPE_CHECKING:
    import numpy


class Volume(NamedTuple):
    """Voxels and where they are."""

    voxels: numpy.ndarray
    """Values [z, y, x]: as stored where stored numbers are the values, else float32."""
    affine: numpy.ndarray
    """World x, y, z in mm (RAS+) from voxel x, y, z: 4x4, float64."""

    @property
    def spacing(self) -> numpy.ndarray:
        """Voxel size along x, y, z in mm."""
        import numpy as np

        return np.linalg.norm(self.affine[:3, :3], axis=0)


def volume(row: Any, column: str | None = None) -> Volume | None:
    """One volume of a row, decoded and checked against its checksum; None if it is missing in this row.

    row: a row of a table of `read`, `query` or `Batch.to_arrow`, as one row of pyarrow (`table.slice(i, 1)`), a dict
        (`table.to_pylist()[i]`) or a row of pandas; or the volume's own value (`table["label"][i]`).
    column: the volume's column, such as "label" or "image.ct"; not needed where the row has one volume.

    Raises ValueError if there is no such volume, Error if it is damaged.
    """
    import numpy as np

    array = _value(row, column)
    found = None if array is None else _voxstream.volume(array)
    if found is None:
        return None
    voxels, affine = found
    return Volume(np.from_dlpack(voxels), np.array(affine).reshape(4, 4))


def _value(row: Any, column: str | None) -> Any:
    """The volume as an array of one struct."""
    import pyarrow as pa

    if isinstance(row, (pa.Table, pa.RecordBatch)):
        if row.num_rows != 1:
            raise ValueError(f"{row.num_rows} rows; pass one of them: table.slice(i, 1)")
        names = [f.name for f in row.schema if pa.types.is_struct(f.type) and f.type.get_field_index("voxels") >= 0]
        value = row.column(_only(names, column))[0]
    elif isinstance(row, pa.Scalar):
        value = row
    else:
        fields = row.to_dict() if hasattr(row, "to_dict") else row
        if not isinstance(fields, Mapping):
            raise ValueError(f"no row: {type(row).__name__}; pass table.slice(i, 1), or table.to_pylist()[i]")
        if "voxels" not in fields:
            names = [name for name, value in fields.items() if isinstance(value, Mapping) and "voxels" in value]
            if column in fields and fields[column] is None:
                return None
            fields = fields[_only(names, column)]
        return pa.array([fields])
    return pa.repeat(value, 1) if value.is_valid else None


def _only(names: list[str], column: str | None) -> str:
    """The volume that is asked for, or the only one there is."""
    if column is None and len(names) == 1:
        return names[0]
    if column not in names:
        asked = "no column was named" if column is None else f"there is no volume {column!r}"
        raise ValueError(f"{asked}; volumes of this row: {', '.join(names) or 'none'}")
    return column
