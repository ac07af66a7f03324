def pytest_configure(config):
    config.addinivalue_line("markers", "fault(row): the row of the fault table that the test proves")
