package mask

import "log/slog"

// Secret is a setting that must never be printed: a key, a token, a password.
// It prints as Hidden, or as nothing when empty; Reveal gives the real value.
type Secret string

// String gives Hidden, so that fmt, kong and loggers cannot leak the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return Hidden
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue is String, for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String, for JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the value as it is.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = Secret(b)
	return nil
}

// Reveal gives the real value, for the one place that uses it.
func (s Secret) Reveal() string { return string(s) }
