"""``python -m batchsend``."""

from batchsend.cli import main

if __name__ == "__main__":
    main()
