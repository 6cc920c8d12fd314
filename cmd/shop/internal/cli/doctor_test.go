package cli

import "testing"

func TestGoVersionsThatWillDo(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"go1.26": true, "go1.26.8": true, "go1.30rc1": true, "devel go1.27-4a3f2e1": true,
		"go1.25.9": false, "go1.9": false, "": false, "go2": false,
	} {
		if recent(version) != want {
			t.Errorf("%q: got %v", version, !want)
		}
	}
}
