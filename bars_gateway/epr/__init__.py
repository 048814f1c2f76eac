"""The hospital side: folders and a socket, in and out."""
