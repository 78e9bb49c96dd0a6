package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"essworker/internal/mask"
	"essworker/internal/telemetry"
)

// grammar is a small command line with every kind of setting there is.
type grammar struct {
	Config configFile `name:"config" env:"WORKER_CONFIG"`

	Run struct {
		Telemetry telemetry.Config `embed:""`
		Rate      int              `default:"20" env:"WORKER_RATE"`
		Timeout   time.Duration    `default:"35s" env:"ESS_TIMEOUT"`
		AllowHTTP bool             `env:"ESS_ALLOW_HTTP"`
		URL       string           `default:"nats://127.0.0.1:4222" name:"nats-url" env:"NATS_URL"`
		Key       mask.Secret      `name:"secret-key" env:"SECRET_KEY"`
		Once      bool             // belongs to one command line: no setting
	} `cmd:""`
	Other struct {
		Addr string `env:"WORKER_OTHER_ADDR"`
		Rate int    // no setting, though one of run has its name
	} `cmd:""`
}

func TestParse_precedence(t *testing.T) {
	file := writeFile(t, "rate: 1\n")
	tests := []struct {
		name string
		env  map[string]string
		args string
		want int
		from string
	}{
		{"default", nil, "run", 20, "default"},
		{"file", nil, "run --config " + file, 1, file},
		{"file named by a variable", map[string]string{"WORKER_CONFIG": file}, "run", 1, file},
		{"variable over file", map[string]string{"WORKER_RATE": "2"}, "run --config " + file, 2, "WORKER_RATE"},
		{"flag over all", map[string]string{"WORKER_RATE": "2"}, "run --rate 3 --config " + file, 3, "flag"},
		{"flag over a variable that is no number", map[string]string{"WORKER_RATE": "x"}, "run --rate 3", 3, "flag"},
		{"a flag that equals the default", map[string]string{"WORKER_RATE": "2"}, "run --rate 20", 20, "flag"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			got, list, err := parseArgs(t, tt.args)
			if err != nil {
				t.Fatal(err)
			}
			from := ""
			for _, s := range list {
				if s.Name == "rate" {
					from = s.From
				}
			}
			if got.Run.Rate != tt.want || from != tt.from {
				t.Errorf("rate = %d from %q, want %d from %q", got.Run.Rate, from, tt.want, tt.from)
			}
		})
	}
}

func TestParse_fileValues(t *testing.T) {
	file := writeFile(t, `
rate: 010            # as on the command line, not as YAML has it
ess-timeout: 2m
allow-http: yes
log-level: debug
http-addr: ""
secret-key: &k "p: w"
nats-url: *k
other-addr: for another command
`)
	_, _, err := parseArgs(t, "run --config "+file)
	if err == nil || !strings.Contains(err.Error(), `"ess-timeout" is no setting`) {
		t.Fatalf("error = %v, want the unknown key named", err)
	}
	file = writeFile(t, strings.NewReplacer("ess-timeout", "timeout", "other-addr", "addr").Replace(read(t, file)))
	got, _, err := parseArgs(t, "run --config "+file)
	if err != nil {
		t.Fatal(err)
	}
	want := got.Run
	want.Rate, want.Timeout, want.AllowHTTP = 8, 2*time.Minute, true
	want.Telemetry.LogLevel, want.Telemetry.HTTPAddr = slog.LevelDebug, ""
	want.Key, want.URL = "p: w", "p: w"
	if diff := cmp.Diff(want, got.Run); diff != "" {
		t.Errorf("settings from the file (-want +got):\n%s", diff)
	}
}

func TestParse_errors(t *testing.T) {
	const path = "settings.yaml"
	tests := []struct {
		name string
		env  map[string]string
		file string
		args string
		want string // all of it
	}{
		{"variable", map[string]string{"WORKER_RATE": "x"}, "", "run", `--rate: expected a valid 64 bit int but got "x" (from WORKER_RATE)`},
		{"empty variable", map[string]string{"WORKER_RATE": ""}, "", "run", `--rate: expected a valid 64 bit int but got "" (from WORKER_RATE)`},
		{"level", map[string]string{"WORKER_LOG_LEVEL": "loud"}, "", "run", `--log-level: slog: level string "loud": unknown name (from WORKER_LOG_LEVEL)`},
		{"flag", nil, "", "run --rate x", `--rate: expected a valid 64 bit int but got "x"`},
		{"file", nil, "timeout: 35", "run", `--timeout: expected duration but got "35": time: missing unit in duration "35" (from settings.yaml)`},
		{"file, bool", nil, "allow-http: on", "run", `--allow-http: bool value must be true, 1, yes, false, 0 or no but got "on" (from settings.yaml)`},
		{
			"checked by the package",
			map[string]string{"WORKER_LOG_FORMAT": "xml"},
			"", "run",
			`run: --log-format: must be text or json, got "xml" (from WORKER_LOG_FORMAT)`,
		},
		{"checked, from the file", nil, "log-format: xml", "run", `run: --log-format: must be text or json, got "xml" (from settings.yaml)`},
		{"unknown key", nil, "ratte: 1", "run", `--config: settings.yaml: "ratte" is no setting; did you mean rate?`},
		{"unknown keys", nil, "b1: 1\na1: 2", "run", "--config: settings.yaml: \"a1\" is no setting\n--config: settings.yaml: \"b1\" is no setting"},
		{"a flag that is no setting", nil, "once: true", "run", `--config: settings.yaml: "once" is no setting`},
		{"the file in itself", nil, "config: x", "run", `--config: settings.yaml: "config" is no setting`},
		{"nested", nil, "nats:\n  url: x", "run", `--config: settings.yaml:2: "nats" must have one plain value`},
		{"list", nil, "rate: [1]", "run", `--config: settings.yaml:1: "rate" must have one plain value`},
		{"null", nil, "http-addr:", "run", `--config: settings.yaml:1: "http-addr" has no value; write "" for an empty one`},
		{"two documents", nil, "rate: 1\n---\nrate: 2", "run", `--config: settings.yaml: must hold one YAML document`},
		{"no file", nil, "", "run --config none.yaml", `--config: open none.yaml: no such file or directory`},
		{"unknown flag", nil, "", "run --ratte 1", `unknown flag --ratte, did you mean "--rate"?`},
		{"unknown command", nil, "", "rum", `unexpected argument rum, did you mean "run"?`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			args := tt.args
			if tt.file != "" {
				if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
					t.Fatal(err)
				}
				args += " --config " + path
			}
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			_, _, err := parseArgs(t, args)
			if err == nil || err.Error() != tt.want {
				t.Errorf("error = %v\nwant    %s", err, tt.want)
			}
			if code := exitCode(err); code != exitUsage {
				t.Errorf("exit code = %d, want %d", code, exitUsage)
			}
		})
	}
}

func TestParse_badFile(t *testing.T) {
	for _, text := range []string{"rate", "- rate", "rate: 1\nrate: 2", "rate: {", "\x00"} {
		_, _, err := parseArgs(t, "run --config "+writeFile(t, text))
		if exitCode(err) != exitUsage || !strings.HasPrefix(err.Error(), "--config: ") {
			t.Errorf("file %q: error = %v, want one that starts with --config:", text, err)
		}
	}
	for _, text := range []string{"", "# nothing\n", "{}"} {
		if _, _, err := parseArgs(t, "run --config "+writeFile(t, text)); err != nil {
			t.Errorf("file %q: error = %v, want nil", text, err)
		}
	}
}

func TestSettingsInForce(t *testing.T) {
	file := writeFile(t, "secret-key: hunter2")
	t.Setenv("NATS_URL", "nats://me:hunter2@a:1,nats://hunter2@b")
	t.Setenv("WORKER_HTTP_ADDR", "")
	_, got, err := parseArgs(t, "run --timeout 1m --config "+file)
	if err != nil {
		t.Fatal(err)
	}
	want := []setting{
		{"config", file, "flag"},
		{"log-format", "", "default"},
		{"log-level", "INFO", "default"},
		{"http-addr", "", "WORKER_HTTP_ADDR"},
		{"rate", "20", "default"},
		{"timeout", "1m0s", "flag"},
		{"allow-http", "false", "default"},
		{"nats-url", "nats://***@a:1,nats://***@b", "NATS_URL"},
		{"secret-key", "***", file},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings in force (-want +got):\n%s", diff)
	}
}

func TestStrayVariables(t *testing.T) {
	known := []string{"WORKER_RATE", "WORKER_HTTP_ADDR", "ESS_TIMEOUT", "ESSBASIC_ENDPOINT"}
	environ := []string{
		"WORKER_RTE=1", "WORKER_RATE=1", "ESS_TIMOUT=1s", "ESSBASIC_ENDPOINTS=x", "WORKER_SOMETHING_ELSE=1", "WORKER_EMPTY=",
		"PATH=/bin", "WORKERS=3", "ESSENCE_RATE=1",
		"WORKER_SERVICE_HOST=10.0.0.1", "WORKER_SERVICE_PORT_HTTP=80", "WORKER_PORT=tcp://10.0.0.1:80", "WORKER_PORT_80_TCP_ADDR=10.0.0.1",
	}
	want := []string{
		"ESSBASIC_ENDPOINTS is set and is no setting; did you mean ESSBASIC_ENDPOINT?",
		"ESS_TIMOUT is set and is no setting; did you mean ESS_TIMEOUT?",
		"WORKER_EMPTY is set and is no setting",
		"WORKER_RTE is set and is no setting; did you mean WORKER_RATE?",
		"WORKER_SOMETHING_ELSE is set and is no setting",
	}
	if diff := cmp.Diff(want, strayVariables(environ, known)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestExitCode(t *testing.T) {
	tests := []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), exitFailed},
		{exit{exitNoMatch, errors.New("x")}, exitNoMatch},
		{errors.Join(errors.New("x"), exit{exitPartly, io.EOF}), exitPartly},
	}
	for _, tt := range tests {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("exitCode(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
	if err := (exit{exitPartly, io.EOF}); !errors.Is(err, io.EOF) || err.Error() != "EOF" {
		t.Errorf("exit = %v, want it to be the error it holds", err)
	}
}

// parseArgs parses a command line of grammar as main does its own.
func parseArgs(t *testing.T, args string) (*grammar, []setting, error) {
	t.Helper()
	var g grammar
	s := &sources{}
	k, err := kong.New(&g, kong.Name("worker"), kong.Bind(s), kong.Resolvers(s), kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := parse(k, s, strings.Fields(args))
	if err != nil {
		return nil, nil, err
	}
	return &g, settingsInForce(ctx, s), nil
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
