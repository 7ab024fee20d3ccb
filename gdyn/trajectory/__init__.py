"""From files of frames to the trajectory store: reading, segments, unwrapping, elements; and the choice of targets."""
