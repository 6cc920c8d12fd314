package schema_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/schema"
)

func TestAccess(t *testing.T) {
	t.Parallel()
	var password atomic.Value
	password.Store("first")
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, got, _ := r.BasicAuth(); user != "reader" || got != password.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error_code": 401, "message": "Unauthorized"}`)
			return
		}
		fmt.Fprint(w, `["a"]`)
	}))
	t.Cleanup(server.Close)
	folder := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := file("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	right := schema.Access{Username: "reader", PasswordFile: file("password", "first\n"), CAFile: ca}

	client := schema.NewClient(server.URL, schema.WithAccess(right))
	works := func(when string) {
		t.Helper()
		if got, err := client.Subjects(t.Context()); err != nil || len(got) != 1 {
			t.Errorf("%s: %v, %v", when, got, err)
		}
	}
	fails := func(when, want string, c *schema.Client) {
		t.Helper()
		_, err := c.Subjects(t.Context())
		if errs.KindOf(err) != errs.Transient || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "first") {
			t.Errorf("%s: kind %v of %v, want Transient with %q and without the password", when, errs.KindOf(err), err, want)
		}
	}
	works("right password")
	password.Store("second")
	fails("rotated at the registry only", "401", client)
	file("password", "second")
	works("rotated on both sides")

	if err := right.Check(); err != nil {
		t.Error(err)
	}
	if err := (schema.Access{}).Check(); err != nil {
		t.Error(err)
	}
	for name, tt := range map[string]struct {
		change func(*schema.Access)
		check  string // what Check says; "" for nothing
		fails  string
	}{
		"system roots":  {func(a *schema.Access) { a.CAFile = "" }, "", "certificate"},
		"nobody":        {func(a *schema.Access) { a.Username, a.PasswordFile = "", "" }, "", "401"},
		"no user":       {func(a *schema.Access) { a.Username = "" }, "SCHEMA_REGISTRY_USERNAME is required", "SCHEMA_REGISTRY_USERNAME"},
		"no password":   {func(a *schema.Access) { a.PasswordFile = "" }, "SCHEMA_REGISTRY_PASSWORD_FILE is required", "SCHEMA_REGISTRY_PASSWORD_FILE"},
		"password away": {func(a *schema.Access) { a.PasswordFile += "x" }, "SCHEMA_REGISTRY_PASSWORD_FILE cannot be used", "SCHEMA_REGISTRY_PASSWORD_FILE"},
		"CA is none":    {func(a *schema.Access) { a.CAFile = a.PasswordFile }, "SCHEMA_REGISTRY_CA_FILE cannot be used", "SCHEMA_REGISTRY_CA_FILE"},
	} {
		a := right
		tt.change(&a)
		err := a.Check()
		if tt.check == "" && err != nil || tt.check != "" && (err == nil || !strings.Contains(err.Error(), tt.check)) {
			t.Errorf("%s: Check says %v, want %q", name, err, tt.check)
		}
		fails(name, tt.fails, schema.NewClient(server.URL, schema.WithAccess(a)))
	}
}
