"""Statistics of prices: survival, shares, intervals, searches, relations."""
