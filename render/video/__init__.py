"""From stored frames to a video file and a contact sheet."""
