"""The outbound connections made for users: an `image_url` to bytes, and which addresses may be dialled."""
