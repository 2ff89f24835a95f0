"""Measurements that anybody can repeat: `weft bench`. Ratios of one run on one broker, not absolute figures of somebody's machine."""
