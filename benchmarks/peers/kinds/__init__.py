"""The libraries, a file each: what an environment needs for it, and what its user writes.

    REQUIREMENTS                          as pip takes them
    ALONE                                 where there are some: installed without what they ask for
    train(given, folder, **settings)      leaves all that it needs to predict in the new folder
    load(folder)                          what it then predicts with
    predict(model, texts)                 for each text the rows of its labels, best first, `TOP` or fewer

A library is imported within the functions: only its environment has it.
"""
