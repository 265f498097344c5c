"""A strict local stand-in for StepFun's API: a real server that answers from pixels.

It keeps its own counts and shares no code with our client, so that it can check the client. It
enforces section 10 of the fact sheet; each rule names its source.
"""
