package credentials

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPassword(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	for content, want := range map[string]string{
		"plain": "plain", "line\n": "line", "windows\r\n": "windows", " spaces are its own \n": " spaces are its own ",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Password(file); got != want || err != nil {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
	for content, want := range map[string]string{"": "is empty", "\n": "is empty", strings.Repeat("x", maxSecret+1): "larger"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Password(file); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%d bytes: %v, want %q", len(content), err, want)
		}
	}
	if _, err := Password(t.TempDir()); err == nil {
		t.Error("a folder was read as a password")
	}
}
