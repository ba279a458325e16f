"""The local stack: emulator, image server and demo. Nothing here is ever deployed."""
