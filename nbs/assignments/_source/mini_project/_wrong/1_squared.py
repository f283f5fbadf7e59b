# Squared distances, and the mean of both directions: another paper's Chamfer distance.
# marks: score_chamfer=0
# cell: score
def score(clouds, truth):
    return {
        "chamfer x100": chamfer(clouds, truth, squared=True, reduce="mean_avg", scale=100.0),
        "F-score": fscore(clouds, truth, threshold=0.05),
    }
