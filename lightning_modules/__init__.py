"""What learns: models, losses and LightningModules. This package knows no file, no path, no benchmark."""
