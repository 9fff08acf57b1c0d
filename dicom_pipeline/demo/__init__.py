"""The demonstration: real objects sent through the whole flow, each of them accounted for."""
