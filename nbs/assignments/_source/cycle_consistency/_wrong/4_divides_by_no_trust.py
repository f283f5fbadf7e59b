# Divides by the trust as it is: 0 / 0 for a cloud that no view is trusted of.
# marks: cycle_nothing=0
# cell: geometric_cycle
def geometric_cycle(points, again, trust, detach=False):
    views, left = divmod(len(again), len(points))
    if left:
        raise refuse("again", f"a multiple of {len(points)} clouds", f"{len(again)}")
    if tuple(trust.shape) != (views, len(points)):
        raise refuse("trust", f"shape {(views, len(points))}", f"{tuple(trust.shape)}")
    clouds = (points.detach() if detach else points).repeat(views, 1, 1)
    each = cloud_distance(clouds, again).reshape(views, len(points))
    return ((trust * each).sum(0) / trust.sum(0)).mean()
