"""Reads pages: detects the text, orders its lines, and recognises their characters."""
