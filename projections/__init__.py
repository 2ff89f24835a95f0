"""What can be queried: a row and how events change it (.py), and its tables and views (.sql). Disposable: replay rebuilds it."""
