"""Pages: a run as a person looks at it in a browser. Each is static, and asks for nothing outside
of its folder.
"""
