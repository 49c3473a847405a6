"""Operations broken at every fault point: the system fails there, or the process is killed."""
