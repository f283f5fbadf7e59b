# Looks for the nearest point in one direction only, and refuses nothing.
# marks: distance_values=0 distance_batch=0 distance_gradients=0
# marks: cycle_values=0 cycle_nothing=0 cycle_refuses=0
# cell: cloud_distance
def cloud_distance(x, y):
    table = (x[:, :, None] - y[:, None]).square().sum(-1)
    return table.min(dim=2).values.mean(dim=1)


# cell: geometric_cycle
def geometric_cycle(points, again, trust, detach=False):
    views = len(again) // len(points)
    clouds = (points.detach() if detach else points).repeat(views, 1, 1)
    again = again[: len(clouds)]
    trust = trust.expand(views, len(points)) if trust.shape[-1] in (1, len(points)) else trust.T
    each = cloud_distance(clouds, again).reshape(views, len(points))
    total = trust.sum(0)
    return ((trust * each).sum(0) / torch.where(total > 0, total, 1.0)).mean()
