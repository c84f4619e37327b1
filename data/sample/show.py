"""Show a labelled sample: its first rows, how often the labels agree with the gold column, where it is."""

import sys

import polars as pl

GOLD = "section"


def main(path: str) -> None:
    """Print the labelled table at *path*."""
    table = pl.read_parquet(path)
    shown = table.select("package", "summary", GOLD, "label", pl.col("label_confidence").round(2)).head(10)
    with pl.Config(
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_rows=10,
        tbl_cols=5,
        tbl_width_chars=110,
        fmt_str_lengths=46,
        tbl_formatting="ASCII_MARKDOWN",
    ):
        sys.stdout.write(f"\nThe first rows of {path}:\n{shown}\n\n")
    right = (table[GOLD] == table["label"]).sum()
    sys.stdout.write(
        f"{right} of {len(table)} labels agree with the column `{GOLD}` ({100 * right / len(table):.0f} %).\n"
        f"The labelled table is {path}\n"
    )


if __name__ == "__main__":
    main(sys.argv[1])
