"""Files that people and other programs have written: JSON, CSV, Parquet, archives, folders of images."""
