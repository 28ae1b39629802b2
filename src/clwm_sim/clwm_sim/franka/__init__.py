"""The world behind libfranka's protocol: franky-sim's servers, one for each arm and hand."""
