# The pose network is shown drawings with their past: clouds learn to carry a code.
# marks: round_gradients=0
# cell: go_round
def go_round(points, colors, poses, size, recon=read_cloud, pose_net=read_pose):
    views = len(poses) // len(points)
    clouds, tints = points.repeat(views, 1, 1), colors.repeat(views, 1, 1)
    images = splat_features(project(clouds, poses), tints, size)
    return images, recon(images), pose_net(images)
