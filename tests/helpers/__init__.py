"""What several tests use: stub halves, files in official layouts, tiny models, a hub, a device."""
