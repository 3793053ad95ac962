"""Subak: physical-infrastructure networks that their contributors own."""
