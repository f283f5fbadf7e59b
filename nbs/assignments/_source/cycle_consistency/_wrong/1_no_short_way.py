# The azimuth is subtracted as it stands: no short way round the circle.
# marks: pose_wrap=0 pose_gradients=0
# cell: pose_cycle
def pose_cycle(predicted, drawn):
    away = (predicted - drawn).abs()
    return ((drawn[:, 1].cos() * away[:, 0] + away[:, 1]) / 2).mean()
