package main

import (
	"bytes"
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// wrong is a value that a setting cannot have, and what else must be given for it to
// be wrong.
type wrong struct {
	value string
	with  []string
}

// anyText is for settings of which every text is a possible value.
const anyText = "\x00any"

// wrongs has one for each setting of `worker run`: a new setting needs one here.
func wrongs(file string) map[string]wrong {
	const none = "/no/such/file"
	basicID, basicKey := "--essbasic-secret-id=x", "--essbasic-secret-key=y"
	return map[string]wrong{
		"config": {value: none},

		"nats-url":             {value: "http://127.0.0.1:4222"},
		"nats-creds":           {value: none},
		"nats-nkey":            {value: none},
		"nats-user":            {value: "me", with: []string{"--nats-creds=" + file}},
		"nats-password":        {value: "secret"},
		"nats-ca":              {value: none},
		"nats-cert":            {value: none},
		"nats-key":             {value: none},
		"nats-inbox-prefix":    {value: "_INBOX.>"},
		"nats-allow-plaintext": {value: "perhaps"},

		"prefix":          {value: "a.b"},
		"replicas":        {value: "2"},
		"results-max-age": {value: "1m"},
		"ack-wait":        {value: "10ms"},

		"ess-endpoint":                 {value: "http://198.51.100.1"},
		"essbasic-endpoint":            {value: "essbasic.tencentcloudapi.com"},
		"ess-allow-http":               {value: "perhaps"},
		"ess-timeout":                  {value: "35"},
		"tencentcloud-secret-id":       {value: " "},
		"tencentcloud-secret-id-file":  {value: none, with: []string{"--tencentcloud-secret-id="}},
		"tencentcloud-secret-key":      {value: "two words"},
		"tencentcloud-secret-key-file": {value: none, with: []string{"--tencentcloud-secret-key="}},
		"tencentcloud-token":           {value: "two words"},
		"tencentcloud-token-file":      {value: none},
		"essbasic-secret-id":           {value: "two words", with: []string{basicKey}},
		"essbasic-secret-id-file":      {value: none, with: []string{basicKey}},
		"essbasic-secret-key":          {value: "two words", with: []string{basicID}},
		"essbasic-secret-key-file":     {value: none, with: []string{basicID}},
		"essbasic-token":               {value: "two words", with: []string{basicID, basicKey}},
		"essbasic-token-file":          {value: none, with: []string{basicID, basicKey}},
		"ess-operator-user-id":         {value: anyText}, // an id of the vendor's, who alone knows what it may hold
		"ess-app-id":                   {value: anyText},

		"rate":             {value: "-1"},
		"replay-share":     {value: "0"},
		"breaker-failures": {value: "0"},
		"breaker-cooldown": {value: "0s"},
		"hold-probe":       {value: "-30s"},

		"source":       {value: ""},
		"nats-monitor": {value: "nats-1:8222"},
		"concurrency":  {value: "0"},
		"max-attempts": {value: "many"},
		"backoff-min":  {value: "0s"},
		"backoff-max":  {value: "1ms"},
		"poison-after": {value: "0"},
		"drain":        {value: "-1s"},

		"log-format": {value: "xml"},
		"log-level":  {value: "loud"},
		"http-addr":  {value: "localhost"},
	}
}

// TestRun_wrongSettings runs the worker with each of its settings wrong, given in
// each of the three ways: the setting is named, the exit code is 2, and nothing was
// done by then.
func TestRun_wrongSettings(t *testing.T) {
	nats, touched := listener(t)
	good := map[string]string{
		"nats-url": "nats://" + nats, "http-addr": "", "tencentcloud-secret-id": "x", "tencentcloud-secret-key": "y",
	}
	file := writeFile(t, "")
	known := wrongs(file)
	for _, flag := range runSettings(t) {
		w, ok := known[flag.Name]
		delete(known, flag.Name)
		if !ok {
			t.Errorf("--%s has no wrong value in this test: add one", flag.Name)
		}
		if !ok || w.value == anyText {
			continue
		}
		args := []string{"run"}
		for name, value := range good {
			if name != flag.Name && !slices.Contains(w.with, "--"+name+"=") {
				args = append(args, "--"+name+"="+value)
			}
		}
		args = append(args, w.with...)
		t.Run(flag.Name, func(t *testing.T) {
			refused(t, "by flag", flag.Name, append(slices.Clone(args), "--"+flag.Name+"="+w.value))
			if flag.Name != "config" { // a file cannot name another
				text := flag.Name + `: "` + w.value + `"`
				refused(t, "in the file", flag.Name, append(slices.Clone(args), "--config="+writeFile(t, text)))
			}
			t.Setenv(flag.Envs[0], w.value)
			refused(t, "in "+flag.Envs[0], flag.Name, args)
		})
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		t.Errorf("this test knows --%s, which is no setting of worker run", name)
	}
	select {
	case <-touched:
		t.Error("a worker with a wrong setting has connected to the server")
	default:
	}
}

// refused runs the worker and wants to hear what is wrong.
func refused(t *testing.T, how, name string, args []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errOut bytes.Buffer
	code := run(ctx, args, strings.NewReader(""), &out, &errOut)
	if code != exitUsage || !strings.Contains(errOut.String(), "--"+name) || out.Len() > 0 {
		t.Errorf("worker %s (%s is wrong %s) = exit code %d, said\n%s%swant exit code %d and --%s named",
			strings.Join(args, " "), name, how, code, out.String(), errOut.String(), exitUsage, name)
	}
}

// TestRun_settingsAreDocumented: the help of `worker run` has each setting with its
// variable and, if it has one, its default.
func TestRun_settingsAreDocumented(t *testing.T) {
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"run", "--help"}, strings.NewReader(""), &out, &errOut); code != 0 {
		t.Fatalf("worker run --help = exit code %d: %s", code, errOut.String())
	}
	help := strings.Join(strings.Fields(out.String()), " ")
	for _, flag := range runSettings(t) {
		_, text, found := strings.Cut(help, "--"+flag.Name)
		text, _, ended := strings.Cut(text, "$"+flag.Envs[0]+")")
		if !found || !ended || strings.Contains(text, " --") {
			t.Errorf("worker run --help does not have --%s with $%s", flag.Name, flag.Envs[0])
			continue
		}
		says := func(s string) bool { return strings.Contains(text, s) }
		if d := flag.Default; d != "" && !says("default "+d+",") && !says("="+d+" ") && !says(`="`+d+`"`) {
			t.Errorf("worker run --help does not say that --%s is %s by default: %s", flag.Name, flag.Default, text)
		}
	}
}

// TestCommands_help runs every command there is with --help.
func TestCommands_help(t *testing.T) {
	for _, node := range model(t).Leaves(false) {
		words := strings.Fields(node.FullPath())[1:]
		t.Run(strings.Join(words, "_"), func(t *testing.T) {
			var out, errOut bytes.Buffer
			code := run(t.Context(), append(words, "--help"), strings.NewReader(""), &out, &errOut)
			if code != 0 || errOut.Len() > 0 || !strings.Contains(out.String(), node.Help) {
				t.Errorf("exit code %d, want 0; said\n%s%s", code, out.String(), errOut.String())
			}
			for _, flag := range node.AllFlags(true) {
				for _, f := range flag {
					if !f.Hidden && (f.Help == "" || !strings.Contains(out.String(), "--"+f.Name)) {
						t.Errorf("the help does not explain --%s", f.Name)
					}
				}
			}
			for line := range strings.Lines(out.String()) {
				if len([]rune(line)) > widest+1 {
					t.Errorf("longer than %d characters: %s", widest, line)
				}
			}
		})
	}
}

// runSettings are the settings of `worker run`, as the command line has them.
func runSettings(t *testing.T) []*kong.Flag {
	t.Helper()
	app := model(t)
	i := slices.IndexFunc(app.Children, func(n *kong.Node) bool { return n.Name == "run" })
	flags := slices.DeleteFunc(slices.Clone(app.Flags), func(f *kong.Flag) bool { return !isSetting(f) })
	return append(flags, settingsOf(app.Children[i])...)
}

func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(&cli{}, kong.Bind(&sources{}))
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// listener is an address that notices when somebody connects.
func listener(t *testing.T) (addr string, touched <-chan struct{}) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	once := make(chan struct{})
	go func() {
		if c, err := l.Accept(); err == nil {
			_ = c.Close()
			close(once)
		}
	}()
	return l.Addr().String(), once
}
