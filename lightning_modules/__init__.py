"""What learns: models, losses and LightningModules. This room knows no file, no path, no benchmark."""
