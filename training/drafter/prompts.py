"""Prints prompts to train a drafter with: instructions about many subjects, code, and conversation, one a line.
A drafter learns how its target writes, so what matters is that the target's answers are like those it will give.

    python3 prompts.py --count 1200 > prompts.txt
"""
from __future__ import annotations

import argparse
import random

SUBJECTS = '''the water cycle, volcanoes, photosynthesis, black holes, the French Revolution, the Roman Empire, inflation, interest rates,
vaccines, the immune system, the heart, sleep, exercise, healthy breakfasts, bread, coffee, tea, gardening, tomatoes, bees, dogs, cats,
whales, penguins, rain forests, deserts, rivers, mountains, the moon, Mars, comets, electricity, magnets, batteries, bridges, trains,
bicycles, sailing, chess, football, swimming, painting, music theory, the piano, poetry, novels, film, photography, languages, grammar,
public speaking, job interviews, time management, teamwork, email, passwords, computer viruses, databases, operating systems, compilers,
sorting algorithms, binary search, recursion, hash tables, version control, unit tests, HTTP, DNS, encryption, machine learning,
neural networks, statistics, probability, prime numbers, fractions, geometry, the metric system, maps, time zones, calendars,
the weather, recycling, solar power, wind power, cooking rice, soup, cheese, chocolate, markets, contracts, elections, courts'''
TASKS = ['Explain {} in simple words.', 'Write three facts about {}.', 'What should a beginner know about {}?', 'Give five tips about {}.',
         'Write a short paragraph about {}.', 'Make a list of ten words that have to do with {}.', 'Why is {} important?',
         'Write a short story in which {} matters.', 'What are common mistakes people make about {}?', 'Write a poem about {}.',
         'Compare two ideas about {}.', 'Summarize what is known about {} in two sentences.', 'Write a dialogue between two people about {}.',
         'How would you teach {} to a child?', 'Write an email that invites a friend to a talk about {}.']
GOALS = '''reverses a string, checks whether a word is a palindrome, sums a list of numbers, finds the largest number in a list,
counts the vowels in a text, removes duplicates from a list, computes the factorial of a number, prints the first n Fibonacci numbers,
checks whether a number is prime, sorts a list of names, merges two sorted lists, reads a file line by line, counts words in a file,
converts Celsius to Fahrenheit, finds the median of a list, flattens a nested list, transposes a matrix, validates an email address,
parses a date, writes a dictionary to a JSON file, downloads a web page, computes the average of a column in a CSV file, rolls two dice,
implements a stack, implements a queue, searches a sorted list by bisection, groups words by their first letter, formats a price'''
LANGUAGES = ['Python', 'JavaScript', 'TypeScript', 'C', 'Java', 'SQL']
CODE = ['Write a {1} function that {0}.', 'Write a {1} program that {0}, and explain it.', 'Show with an example how one {0} in {1}.',
        'Write a {1} function that {0}, with a test.']
CHAT = ['Hello! How are you today?', 'I feel tired. What could I do?', 'Tell me a joke.', 'Recommend a book and say why.', 'What is your name?',
        'Help me plan a weekend in a small town.', 'I have eggs, flour and milk. What can I cook?', 'What is the capital of {}?',
        'How do I say "good morning" in {}?', 'What can I see in {}?', 'Plan a two day trip to {}.', 'Write a postcard from {}.']
PLACES = 'France, Spain, Italy, Germany, Japan, Brazil, Canada, Egypt, India, Norway, Peru, Kenya, Greece, Portugal, Mexico, Poland'


def items(text: str) -> list[str]:
    """The parts of a list written with commas."""
    return [' '.join(part.split()) for part in text.split(',')]


def prompts(count: int, seed: int) -> list[str]:
    """Different prompts, the same for a seed: half on subjects, a third code, the rest conversation."""
    rng = random.Random(seed)
    subjects = [task.format(subject) for task in TASKS for subject in items(SUBJECTS)]
    code = [task.format(goal, language) for task in CODE for goal in items(GOALS) for language in LANGUAGES]
    chat = [task.format(place) for task in CHAT for place in (items(PLACES) if '{}' in task else [''])]
    shares = ((subjects, count // 2), (code, count // 3), (chat, count - count // 2 - count // 3))
    chosen = [prompt for pool, share in shares for prompt in rng.sample(pool, min(share, len(pool)))]
    rng.shuffle(chosen)
    return chosen


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--count', type=int, default=1200)
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    print('\n'.join(prompts(options.count, options.seed)))
