"""Tables for classification: numeric and categorical columns, missing values."""
