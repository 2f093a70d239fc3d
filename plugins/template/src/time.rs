//! `strftime` over a time that the caller passes in: the C locale, UTC.

/// Formats `unix` (seconds since 1970) as Python's `datetime.strftime` does on a datetime without a zone.
/// The flags `-`, `_`, `0` and `^` of the C library are known; a code that it does not know stays as it is.
pub fn strftime(format: &str, unix: i64) -> String {
    let t = Civil::at(unix);
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let from = rest.clone();
        let mut flag = None;
        let mut code = rest.next();
        while let Some(f @ ('-' | '_' | '0' | '^')) = code {
            flag = Some(f);
            code = rest.next();
        }
        match code.and_then(|code| t.field(code, flag)) {
            Some(text) if flag == Some('^') => out.push_str(&text.to_uppercase()),
            Some(text) => out.push_str(&text),
            None => {
                out.push('%');
                rest = from;
            }
        }
    }
    out
}

const MONTHS: [&str; 12] = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

struct Civil {
    unix: i64,
    year: i64,
    month: i64,
    day: i64,
    /// Days since the first of January.
    yday: i64,
    /// Days since Sunday.
    wday: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Civil {
    /// The Gregorian date by eras of 400 years that begin in March, so that the leap day is a year's last.
    fn at(unix: i64) -> Civil {
        let days = unix.div_euclid(86400);
        let second = unix.rem_euclid(86400);
        let from_march = days + 719468; // days since the first of March of the year 0
        let era = from_march.div_euclid(146097);
        let of_era = from_march.rem_euclid(146097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153; // March is 0
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        Civil {
            unix,
            year,
            month,
            day: of_year - (153 * shifted + 2) / 5 + 1,
            yday: if month <= 2 { of_year - 306 } else { of_year + 59 + i64::from(leap) },
            wday: (days + 4).rem_euclid(7),
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
        }
    }

    fn field(&self, code: char, flag: Option<char>) -> Option<String> {
        let number = |n: i64, width: usize, pad: char| match (flag, pad) {
            (Some('-'), _) => n.to_string(),
            (Some('_'), _) => format!("{n:>width$}"),
            (Some('0'), _) | (_, '0') => format!("{n:0>width$}"),
            _ => format!("{n:>width$}"),
        };
        let hour12 = if self.hour % 12 == 0 { 12 } else { self.hour % 12 };
        let again = |format: &str| Some(strftime(format, self.unix));
        let (iso_year, iso_week) = self.iso_week();
        Some(match code {
            'a' => DAYS[self.wday as usize][..3].into(),
            'A' => DAYS[self.wday as usize].into(),
            'b' | 'h' => MONTHS[self.month as usize - 1][..3].into(),
            'B' => MONTHS[self.month as usize - 1].into(),
            'c' => return again("%a %b %e %H:%M:%S %Y"),
            'C' => number(self.year.div_euclid(100), 2, '0'),
            'd' => number(self.day, 2, '0'),
            'D' | 'x' => return again("%m/%d/%y"),
            'e' => number(self.day, 2, ' '),
            'f' => "000000".into(),
            'F' => return again("%Y-%m-%d"),
            'g' => number(iso_year.rem_euclid(100), 2, '0'),
            'G' => number(iso_year, 4, '0'),
            'H' => number(self.hour, 2, '0'),
            'I' => number(hour12, 2, '0'),
            'j' => number(self.yday + 1, 3, '0'),
            'k' => number(self.hour, 2, ' '),
            'l' => number(hour12, 2, ' '),
            'm' => number(self.month, 2, '0'),
            'M' => number(self.minute, 2, '0'),
            'n' => "\n".into(),
            'p' => if self.hour < 12 { "AM".into() } else { "PM".into() },
            'P' => if self.hour < 12 { "am".into() } else { "pm".into() },
            'r' => return again("%I:%M:%S %p"),
            'R' => return again("%H:%M"),
            's' => self.unix.to_string(),
            'S' => number(self.second, 2, '0'),
            't' => "\t".into(),
            'T' | 'X' => return again("%H:%M:%S"),
            'u' => if self.wday == 0 { "7".into() } else { self.wday.to_string() },
            'U' => number((self.yday + 7 - self.wday) / 7, 2, '0'),
            'V' => number(iso_week, 2, '0'),
            'w' => self.wday.to_string(),
            'W' => number((self.yday + 7 - (self.wday + 6) % 7) / 7, 2, '0'),
            'y' => number(self.year.rem_euclid(100), 2, '0'),
            'Y' => number(self.year, 4, '0'),
            'z' | 'Z' => String::new(),
            '%' => "%".into(),
            _ => return None,
        })
    }

    /// The year and week of ISO 8601: a week belongs to the year of its Thursday.
    fn iso_week(&self) -> (i64, i64) {
        let thursday = Civil::at_day(self.unix.div_euclid(86400) - (self.wday + 6) % 7 + 3);
        (thursday.0, thursday.1 / 7 + 1)
    }

    /// The year and the day of the year of a day since 1970.
    fn at_day(day: i64) -> (i64, i64) {
        let t = Civil::at(day * 86400);
        (t.year, t.yday)
    }
}

#[cfg(test)]
mod tests {
    use super::strftime;

    #[test]
    fn dates_are_the_calendar_s() {
        // The expectations are GNU date's: date -u -d @N +FORMAT.
        for (unix, want) in [
            (0, "1970-01-01 00:00:00 Thursday 001 01 1970-W01 00 00"),
            (951782400, "2000-02-29 00:00:00 Tuesday 060 29 2000-W09 09 09"),
            (1735689599, "2024-12-31 23:59:59 Tuesday 366 31 2025-W01 52 53"),
            (1609459200, "2021-01-01 00:00:00 Friday 001 01 2020-W53 00 00"),
            (-1, "1969-12-31 23:59:59 Wednesday 365 31 1970-W01 52 52"),
            (4107542400, "2100-03-01 00:00:00 Monday 060 01 2100-W09 09 09"),
        ] {
            assert_eq!(strftime("%Y-%m-%d %H:%M:%S %A %j %d %G-W%V %U %W", unix), want, "{unix}");
        }
        assert_eq!(strftime("%d %b %Y, %-d %e %_d %I:%M %p %^a %y%%", 1721865600), "25 Jul 2024, 25 25 25 12:00 AM THU 24%");
        assert_eq!(strftime("%-d/%-m|%e|%_m|%q|%", 1722470400), "1/8| 1| 8|%q|%");
        assert_eq!(strftime("%c|%D|%F|%T|%R|%r|%Z%z", 1722470400), "Thu Aug  1 00:00:00 2024|08/01/24|2024-08-01|00:00:00|00:00|12:00:00 AM|");
    }
}
