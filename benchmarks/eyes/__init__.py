"""Eyes without a mind: an OpenAI-compatible endpoint that reads pixels by real OCR.

It answers by templates from the bytes that it receives, and never sees the truth. So a fact that
preparation destroys, or that the tree drops, is missing in its answers. It reads each image alone:
it cannot measure how a model tires over many pictures. It shares no code with the sandbox.
"""
