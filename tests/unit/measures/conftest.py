from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # other work may share the machine
settings.load_profile("unhurried")
