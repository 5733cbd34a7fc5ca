"""What all unit tests share."""

from hypothesis import settings

# On a busy machine one example may take long without being wrong.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")
