"""A strict local stand-in for StepFun's API: a real server that answers from the pixels it gets.

It keeps its own counts and shares no code with our client side, so that it can judge it. What it
enforces is section 10 of the fact sheet; each rule's source stands with the rule.
"""
