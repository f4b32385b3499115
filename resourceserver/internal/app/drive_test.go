package app_test

// file is the id of alice's file of a name.
func (r *rig) file(name string) string {
	r.t.Helper()
	files := r.ok("drive_search", map[string]any{"name": name})["files"].([]any)
	if len(files) != 1 {
		r.t.Fatalf("%d files %q", len(files), name)
	}
	return field(files[0], "file_id").(string)
}
