"""Compiled numerics that know no model: SIMD lanes and back-propagation."""
