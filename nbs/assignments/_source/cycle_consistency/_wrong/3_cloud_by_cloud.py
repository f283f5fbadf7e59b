# Takes readings and drawings cloud by cloud instead of view by view: right for a batch of one.
# marks: cycle_values=0 cycle_nothing=0 round_drawings=0 round_gradients=0
# cell: geometric_cycle
def geometric_cycle(points, again, trust, detach=False):
    views, left = divmod(len(again), len(points))
    if left:
        raise refuse("again", f"a multiple of {len(points)} clouds", f"{len(again)}")
    if tuple(trust.shape) != (views, len(points)):
        raise refuse("trust", f"shape {(views, len(points))}", f"{tuple(trust.shape)}")
    clouds = (points.detach() if detach else points).repeat_interleave(views, dim=0)
    each = cloud_distance(clouds, again).reshape(len(points), views).T
    total = trust.sum(0)
    return ((trust * each).sum(0) / torch.where(total > 0, total, 1.0)).mean()


# cell: go_round
def go_round(points, colors, poses, size, recon=read_cloud, pose_net=read_pose):
    views = len(poses) // len(points)
    clouds = points.repeat_interleave(views, dim=0)
    tints = colors.repeat_interleave(views, dim=0)
    images = splat_features(project(clouds, poses), tints, size)
    return images, recon(images), pose_net(images.detach())
