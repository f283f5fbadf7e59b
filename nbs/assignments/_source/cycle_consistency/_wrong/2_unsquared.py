# Distances instead of squared distances.
# marks: distance_values=0 distance_batch=0 distance_gradients=0 cycle_values=0 cycle_nothing=0
# cell: cloud_distance
def cloud_distance(x, y):
    table = (x[:, :, None] - y[:, None]).square().sum(-1).sqrt()
    return table.min(dim=2).values.mean(dim=1) + table.min(dim=1).values.mean(dim=1)
