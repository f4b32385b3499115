package drive

// Query opens the making of Drive queries to tests.
func Query(text, name, kind, folder, after string) (string, error) {
	return searchInput{Query: text, Name: name, Type: kind, FolderID: folder, ModifiedAfter: after}.driveQuery()
}
