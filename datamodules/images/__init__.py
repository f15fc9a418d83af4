"""Images and masks before they are part of a record: colours, depth, orientation, run lengths."""
