package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eventshop.example/ops/operators"
	"eventshop.example/ops/operators/opstest"
)

// patched returns the bodies of the edits that payment received.
func patched(t *testing.T, s *shop) []any {
	t.Helper()
	var out []any
	for _, c := range s.payment.Changes() {
		head, body, _ := strings.Cut(c, " {")
		if head != "PATCH /dead-letters/"+opstest.ID(1)+" ada" {
			t.Errorf("%s", c)
		}
		var v any
		if err := json.Unmarshal([]byte("{"+body), &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func TestEditWithoutEditor(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	for what, c := range map[string]struct {
		content string
		args    []string
		want    string
	}{
		"payload":   {`{"orderId": "key-1", "amount": 12345678901234567890}`, []string{"--payload", file}, `{"payload": {"orderId": "key-1", "amount": 12345678901234567890}}`},
		"bytes":     {"AAAA\nAAI=\n", []string{"--payload-base64", file}, `{"payloadBase64": "AAAAAAI="}`},
		"header":    {"", []string{"--set-header", "ce_type=A=B", "--set-header", "x="}, `{"setHeaders": {"ce_type": "A=B", "x": ""}}`},
		"both":      {`{"orderId": "k"}`, []string{"--payload", file, "--set-header", "a=b", "--note", "typo"}, `{"payload": {"orderId": "k"}, "setHeaders": {"a": "b"}, "note": "typo"}`},
		"key":       {`{"key": "key-2"}`, []string{"--file", file, "--dry-run"}, `{"key": "key-2", "dryRun": true}`},
		"document":  {`{"headers": [], "payload": {"orderId":   "key-1"}}`, []string{"--file", file}, `{"headers": []}`},
		"key bytes": {`{"keyBase64": "/w==", "payload": {"orderId": "k"}}`, []string{"--file", file}, `{"keyBase64": "/w==", "payload": {"orderId": "k"}}`},
		"stdin":     {`{"key": "key-3"}`, []string{"--file", "-"}, `{"key": "key-3"}`},
	} {
		s := newShop(t)
		s.payment.Add(1, "key-1")
		s.stdin = c.content
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		out := s.must(append([]string{"dlq", "edit", opstest.ID(1), "--as", "ada"}, c.args...)...)
		var want any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]any{want}, patched(t, s)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		if what == "payload" && !strings.Contains(s.payment.Changes()[0], "12345678901234567890") {
			t.Errorf("digits are lost: %s", s.payment.Changes()[0])
		}
		if what == "key" {
			s.has(out, "warning: its key is not the event's key key-1", "would be edited", "edited key\n  key-2\n")
		} else {
			s.has(out, "is edited", "shop dlq resubmit "+opstest.ID(1))
		}
	}
}

func TestEditIsRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.payment.Add(1, "key-1")
	s.payment.Add(2, "key-2").Status = operators.Resolved
	file := filepath.Join(t.TempDir(), "f")
	for content, part := range map[string]string{
		`{"paylod": {}}`:                                   `"paylod"`,
		`{"key": "a", "keyBase64": "YQ=="}`:                "one of them",
		`{"payload": {}, "payloadBase64": ""}`:             "one of them",
		`{"headers": [{"value": "x"}]}`:                    "headers[0]",
		`{"key": "a"} {"key": "b"}`:                        "something behind it",
		`{"payload": {"amount": 1}}`:                       "payload.orderId: is required",
		`[1]`:                                              "not a document",
		`{"headers": [{"key": "a", "keyBase64": "YQ=="}]}`: "headers[0]",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s.fails([]string{"dlq", "edit", opstest.ID(1), "--file", file}, part)
	}
	if err := os.WriteFile(file, []byte("[1]"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.fails([]string{"dlq", "edit", opstest.ID(1), "--payload", file}, "--payload "+file)
	s.fails([]string{"dlq", "edit", opstest.ID(1), "--file", file + "x"}, "no such file")
	s.fails([]string{"dlq", "edit", opstest.ID(1), "--set-header", "=x"}, "NAME=VALUE")
	s.fails([]string{"dlq", "edit", opstest.ID(1), "--file", file, "--payload", file}, "file payload")
	s.fails([]string{"dlq", "edit", opstest.ID(2), "--file", file}, "is resolved")
	if err := os.WriteFile(file, []byte(`{"key": "key-1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	before := len(s.payment.Changes())
	s.must("dlq", "edit", opstest.ID(1), "--file", file)
	if s.has(s.progress, "nothing was changed"); len(s.payment.Changes()) != before {
		t.Error("what is the same is sent")
	}
}

// TestEditInTheEditor is not parallel: it sets the environment.
func TestEditInTheEditor(t *testing.T) {
	s := newShop(t)
	d := s.payment.Add(1, "key-1")
	dir := t.TempDir()
	editor := filepath.Join(dir, "my editor")
	script := "#!/bin/sh\n[ \"$1\" = --wait ] || exit 3\ncp \"$2\" '" + dir + "/seen'\nsed -i 's/key-1/key-2/' \"$2\"\n"
	if err := os.WriteFile(editor, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VISUAL", "")
	t.Setenv("EDITOR", "'"+editor+"' --wait")
	t.Setenv("TMPDIR", dir)
	s.must("dlq", "edit", opstest.ID(1), "--as", "ada")
	seen, err := os.ReadFile(filepath.Join(dir, "seen"))
	if err != nil {
		t.Fatal(err)
	}
	s.has(string(seen), `"key": "key-1"`, `"value": "OrderCreated"`, `"orderId": "key-1"`)
	if strings.Contains(string(seen), "payloadBase64") {
		t.Errorf("both forms of the payload are offered:\n%s", seen)
	}
	want := []any{map[string]any{"key": "key-2", "payload": map[string]any{"orderId": "key-2"}}}
	if diff := cmp.Diff(want, patched(t, s)); diff != "" {
		t.Error(diff)
	}

	// A document that the service refuses is kept, and the error names its file.
	*d = *s.payment.Add(1, "key-1")
	script = "#!/bin/sh\nsed -i 's/orderId/amount/' \"$1\"\n"
	if err := os.WriteFile(editor, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("EDITOR", "'"+editor+"'")
	_, err = s.run("dlq", "edit", opstest.ID(1))
	if err == nil {
		t.Fatal("succeeds")
	}
	kept := regexp.MustCompile(`--file (\S+?)` + "`").FindStringSubmatch(err.Error())
	if kept == nil {
		t.Fatalf("%v", err)
	}
	if b, err := os.ReadFile(kept[1]); err != nil || !strings.Contains(string(b), "amount") {
		t.Errorf("%s %v", b, err)
	}

	t.Setenv("EDITOR", "false")
	s.fails([]string{"dlq", "edit", opstest.ID(1)}, "false: exit status 1")
	t.Setenv("EDITOR", "true")
	s.must("dlq", "edit", opstest.ID(1))
	s.has(s.progress, "nothing was changed")
	t.Setenv("EDITOR", "")
	s.fails([]string{"dlq", "edit", opstest.ID(1)}, "no editor")
	if left, _ := filepath.Glob(filepath.Join(dir, "dead-letter-*")); len(left) != 1 {
		t.Errorf("files are left: %v", left)
	}
}
