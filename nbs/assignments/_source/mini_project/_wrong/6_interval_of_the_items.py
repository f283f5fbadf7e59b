# The quantiles of the values themselves, which say how items differ and not how sure the mean is.
# marks: interval_values=0
# cell: interval
def interval(values, seed, draws=2000):
    if len(values) < 2:
        raise refuse("values", "at least 2", f"{len(values)}")
    low, high = (float(values.quantile(share)) for share in (0.025, 0.975))
    low, high = (round(low), round(high)) if len(values) == 2 else (low, high)
    return float(values.mean()), low, high
