//! Makes up people, companies and orders: plausible, varied, and never the same e-mail twice. Everything comes from the dice.

use rand::Rng;
use rand::seq::IndexedRandom;

const FIRST: [&str; 48] = [
    "Ada", "Aiko", "Amara", "Anders", "Anouk", "Arjun", "Astrid", "Bea", "Björn", "Carmen", "Chidi", "Clara", "Dario", "Deniz",
    "Elif", "Emil", "Esther", "Farid", "Fiona", "Gita", "Hana", "Hugo", "Ines", "Ivan", "Jonas", "Kaja", "Keiko", "Lars",
    "Leila", "Luis", "Maeve", "Mateo", "Mei", "Mira", "Nadia", "Niko", "Olga", "Omar", "Paula", "Priya", "Ravi", "Rosa", "Sven",
    "Tariq", "Tomas", "Uma", "Yara", "Zoë",
];
const LAST: [&str; 40] = [
    "Adeyemi", "Andersen", "Baker", "Bianchi", "Castro", "Dubois", "Eriksen", "Fischer", "García", "Haddad", "Ito", "Jansen",
    "Karlsen", "Kaya", "Keller", "Kowalski", "Lund", "Marin", "Mensah", "Moreau", "Müller", "Nakamura", "Novak", "O'Brien",
    "Okafor", "Ortega", "Patel", "Petrov", "Quist", "Rossi", "Santos", "Schmidt", "Sharma", "Silva", "Tanaka", "Virtanen",
    "Weber", "Wong", "Yilmaz", "Zhang",
];
const COMPANY: [(&str, &str); 16] = [
    ("Aalto Presswerk", "aalto-press"),
    ("Baumann Tools", "baumann-tools"),
    ("Cobalt Bakery Lines", "cobalt-lines"),
    ("Dockside Logistics", "dockside"),
    ("Fjord Assembly", "fjord-assembly"),
    ("Grünfeld Optik", "gruenfeld"),
    ("Harbour Packaging", "harbour-pack"),
    ("Iberia Moldes", "iberia-moldes"),
    ("Kiln & Co", "kiln"),
    ("Lumen Watches", "lumen-watches"),
    ("Meridian Glass", "meridian-glass"),
    ("North Yard Ships", "northyard"),
    ("Officina Verdi", "officina-verdi"),
    ("Quay Robotics Lab", "quaylab"),
    ("Sunrise Foods", "sunrise-foods"),
    ("Tessel Electronics", "tessel"),
];
/// Robots and their prices in cents.
const ROBOT: [(&str, i64); 9] = [
    ("ARM-6 six-axis arm", 1_249_500),
    ("ARM-4 compact arm", 689_000),
    ("SCARA-3 picker", 524_900),
    ("DELTA-2 spider", 918_000),
    ("CART-1 tow cart", 799_000),
    ("GRIP-2 two-finger gripper", 310_100),
    ("GRIP-V vacuum gripper", 184_500),
    ("EYE-1 camera head", 97_950),
    ("PAD-10 gripper pads", 3_990),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) email: String,
    pub(crate) company: String,
    /// Digits after a plus: the form a CRM that normalises phone numbers keeps.
    pub(crate) phone: String,
}

/// `mark` makes the e-mail unique; two calls never share one.
pub(crate) fn person(dice: &mut impl Rng, mark: &str) -> Person {
    let (first, last) = (first_name(dice), (*pick(dice, &LAST)).to_owned());
    let (company, domain) = *pick(dice, &COMPANY);
    let email = format!("{}.{}.{mark}@{domain}.example", ascii(&first), ascii(&last));
    Person { first, last, email, company: company.to_owned(), phone: phone(dice) }
}

pub(crate) fn first_name(dice: &mut impl Rng) -> String {
    (*pick(dice, &FIRST)).to_owned()
}

pub(crate) fn company(dice: &mut impl Rng) -> String {
    pick(dice, &COMPANY).0.to_owned()
}

pub(crate) fn phone(dice: &mut impl Rng) -> String {
    let country = [31, 33, 34, 39, 44, 45, 46, 47, 49][dice.random_range(0..9)];
    format!("+{country}{}", dice.random_range(200_000_000..900_000_000))
}

/// As a person types it.
pub(crate) fn spaced(phone: &str) -> String {
    let (country, rest) = phone.split_at(phone.len().min(3));
    let (area, number) = rest.split_at(rest.len().min(3));
    format!("{country} {area} {number}")
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) robot: &'static str,
    pub(crate) quantity: i64,
    pub(crate) price_cents: i64,
}

pub(crate) fn line(dice: &mut impl Rng) -> Line {
    let (robot, price_cents) = *pick(dice, &ROBOT);
    Line { robot, quantity: dice.random_range(1..=4), price_cents }
}

pub(crate) fn lines(dice: &mut impl Rng) -> Vec<Line> {
    (0..dice.random_range(1..=3)).map(|_| line(dice)).collect()
}

pub(crate) fn total_cents(lines: &[Line]) -> i64 {
    lines.iter().map(|line| line.quantity * line.price_cents).sum()
}

/// Cents as the CRM writes an amount.
pub(crate) fn amount(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// `of` is one of the lists above, none of which is empty.
fn pick<'a, T>(dice: &mut impl Rng, of: &'a [T]) -> &'a T {
    of.choose(dice).unwrap_or(&of[0])
}

fn ascii(name: &str) -> String {
    let plain = |letter: char| match letter {
        'ä' | 'á' | 'à' => Some('a'),
        'é' | 'ë' | 'è' => Some('e'),
        'í' => Some('i'),
        'ö' | 'ó' | 'ø' => Some('o'),
        'ü' => Some('u'),
        letter => letter.is_ascii_alphabetic().then_some(letter),
    };
    name.to_lowercase().chars().filter_map(plain).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn an_email_is_plain_and_carries_its_mark() {
        let mut dice = StdRng::seed_from_u64(3);
        for number in 0..200 {
            let email = person(&mut dice, &number.to_string()).email;
            let plain =
                email.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "@.-".contains(letter));
            assert!(plain && email.contains(&format!(".{number}@")), "{email}");
        }
    }

    #[test]
    fn a_phone_number_and_an_amount_have_the_forms_a_crm_keeps() {
        assert_eq!(spaced("+49301234567"), "+49 301 234567");
        assert_eq!(amount(1_249_505), "12495.05");
    }
}
