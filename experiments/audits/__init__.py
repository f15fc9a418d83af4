"""Does a checkpoint understand or guess? Its test again, each time with one thing changed."""
